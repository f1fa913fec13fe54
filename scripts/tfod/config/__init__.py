"""pipeline.config: read, fitted to the data, checked; and the zoo that base configs come from."""
