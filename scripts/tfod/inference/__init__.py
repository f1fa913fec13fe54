"""A detector applied to photos and videos."""
