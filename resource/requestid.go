package resource

import (
	"context"
	"crypto/rand"
	"encoding/hex"
)

type requestIDKey struct{}

// WithRequestID makes Require use this id, where something in front of it has
// chosen one already. Never take it from the request itself: it is what ties a
// log line to an answer. An id that is empty, longer than 128 bytes or not
// printable is not used.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID is the id of the request, as Require answered it in Request-Id.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// requestID returns the context's id, or a new one of 16 random bytes in hex and
// a context that has it.
func requestID(ctx context.Context) (context.Context, string) {
	if id := RequestID(ctx); scopeToken(id) && len(id) <= 128 {
		return ctx, id
	}
	var raw [16]byte
	rand.Read(raw[:]) // never fails
	var text [32]byte
	hex.Encode(text[:], raw[:])
	id := string(text[:])
	return WithRequestID(ctx, id), id
}
