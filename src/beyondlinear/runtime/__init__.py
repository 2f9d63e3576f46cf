"""What every room stands on: config and its errors, seeds, files, progress, provenance.

Nothing here knows of data or models, and nothing here imports another room. Its modules are light
and are imported by name.
"""
