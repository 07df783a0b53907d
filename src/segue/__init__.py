"""Segue: move a segmentation model from a labelled domain to an unlabelled one."""

__version__ = "0.1.0"
