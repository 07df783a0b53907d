"""``segue view``: a page, on this machine alone, to look at a run's target pictures and to accept or reject them."""
