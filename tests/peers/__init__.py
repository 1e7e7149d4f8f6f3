"""Other schedulers and fastlane under the same faults: ``make proof-peers`` runs them and writes the table in docs/proof.md.

``kinds`` says how each is set up, ``faults`` strikes and judges. ``apps`` has what runs in the others' own environments: they import
nothing of fastlane.
"""
