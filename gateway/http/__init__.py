"""The HTTP face: strict requests in, RFC 9457 problems out. `gateway.http.wiring` puts it together."""
