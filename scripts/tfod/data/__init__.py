"""Photos, boxes, label maps, splits and records: what a detector learns from."""
