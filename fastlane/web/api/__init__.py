"""The contract: what requests contain, and what responses contain."""
