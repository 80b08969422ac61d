"""What an app is made of, as a bill of materials: read from its dependency files, written as CycloneDX.

``contract`` holds packages and gaps; ``python_reading``, ``python_locks`` and ``npm_reading`` take them over;
``document`` writes them; ``serving`` does so for a known app.
"""
