"""Additional losses on a picture that the student has just seen."""
