"""Files that are on disk when a call returns: durable writes, the directory lock, descriptors, the ballast."""
