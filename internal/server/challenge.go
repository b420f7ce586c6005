package server

import (
	"net/http"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// challenge is the challenge endpoint (PP-13). It decides nothing and knows nobody:
// what it gives is the same for all, so there is no audit line, and nothing in the
// request is looked at.
func (s *Server) challenge(w *response, _ *http.Request) {
	b := strictjson.AppendText([]byte(`{"attestation_challenge":`), s.config.Authenticator.Challenges.Fresh())
	writeEncoded(w, http.StatusOK, append(b, '}'))
}

// giveChallenge puts a challenge into the answer to a proof that had not the right
// one.
func (s *Server) giveChallenge(w http.ResponseWriter, e *oauth.Error) {
	if e.Code == oauth.UseAttestationChallenge && s.config.Authenticator.Challenges != nil {
		w.Header().Set(oauth.HeaderClientAttestationChallenge, s.config.Authenticator.Challenges.Fresh())
	}
}
