"""The contract: what requests contain, what responses contain, and the OpenAPI document made from both."""
