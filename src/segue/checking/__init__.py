"""Everything that would go wrong with pictures and labels, found at once; imports no torch."""
