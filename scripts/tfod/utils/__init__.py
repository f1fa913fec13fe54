"""What has nothing to do with detectors: flags and errors, files, processes, downloads, drawing."""
