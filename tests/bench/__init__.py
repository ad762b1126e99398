"""`make bench`: what this machine can do, beside the alternatives, in one run."""
