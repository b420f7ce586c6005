package admin

import (
	"context"
	"net/http"
)

// A Store says how long what operators do is kept.
type Store struct {
	Memory bool `json:"memory"` // until the server ends
}

func (s *Server) store(w http.ResponseWriter, _ *http.Request) {
	answer(w, Store{Memory: s.config.StoreInMemory})
}

// Store is where the server keeps blocks, revocations and people.
func (c *Client) Store(ctx context.Context) (st Store, err error) {
	return st, c.call(ctx, http.MethodGet, "/store", nil, &st)
}
