"""The named configurations: ``fusion-dfd train --config fusion.py`` finds them here."""
