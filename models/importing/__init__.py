"""The released weights of EVP and of the networks it builds on, as files of our own stages.

`python -m models.importing` reads them; `docs/weights.md` says which there are.
"""
