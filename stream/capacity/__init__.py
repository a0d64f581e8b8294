"""How many cameras this machine carries: what each step costs here, what follows, and a trial with live cameras."""
