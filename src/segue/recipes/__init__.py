"""One function a paper: what it does, as an experiment."""
