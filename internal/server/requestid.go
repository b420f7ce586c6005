package server

import (
	"context"
	"crypto/rand"
	"net/http"

	"github.com/svidgate/svidgate/oauth"
)

type requestIDKey struct{}

// withRequestID gives every response a Request-Id of ours, which an operator can
// find in log and audit record. One that the peer sends is not taken over.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()
		w.Header().Set(oauth.HeaderRequestID, id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
