"""The REST face: one module of handlers per area, one table of routes (`routes.ROUTES`), one wrapper (`call`)."""
