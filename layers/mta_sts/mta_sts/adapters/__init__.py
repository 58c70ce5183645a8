"""The outer world: one module for each service, where its errors become ours."""
