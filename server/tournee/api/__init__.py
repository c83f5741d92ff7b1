"""The GraphQL layer, the only place that imports strawberry."""
