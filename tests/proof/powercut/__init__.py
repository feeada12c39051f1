"""Power cuts: a machine that loses its power while mail goes through it, again and again (C{python -m tests.proof.powercut})."""
