"""The pages about a model, a comparison and a data set."""
