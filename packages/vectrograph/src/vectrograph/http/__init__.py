"""HTTP for both APIs: operations as data, endpoints, worker threads, middleware, errors."""
