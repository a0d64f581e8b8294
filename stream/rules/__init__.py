"""Rules over events: what must last, follow, be missing or come often to be an alert. docs/rules.md is the language."""
