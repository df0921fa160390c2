"""Authentication and authorization: tokens with scopes, sessions, and a rule for every route."""
