"""The conflict inbox: which decisions are legal, and what each of them does."""
