"""Repairs what crashes and lost writes leave behind: the rebuilder after a lost queue, the reconciler all the time."""
