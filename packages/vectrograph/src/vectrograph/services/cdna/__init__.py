"""CDNA of tenants: scales, profiles, history, and quarantines that end by themselves."""
