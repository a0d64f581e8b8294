"""Events in one SQLite file: kept once each, found fast, forgotten by age, number and size."""
