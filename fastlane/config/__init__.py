"""The settings: what there is to set, how each is read and checked, and the page of the docs that lists them."""
