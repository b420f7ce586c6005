package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/explain"
)

// maxQuestion is a credential in JSON, each byte escaped perhaps.
const maxQuestion = 8 * credential.MaxInput

// explain judges a credential. It is neither logged nor recorded: it was not
// shown to the server to get anything.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, errors.New("the question is too long, or did not arrive"))
		return
	}
	var q explain.Question
	if json.Unmarshal(body, &q) != nil { // its error would repeat the credential
		fail(w, http.StatusBadRequest, errors.New("the question is not what `svidgate explain` sends"))
		return
	}
	report, err := s.config.Explain(r.Context(), q)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	answer(w, report)
}

// decision finds a decision in the audit record.
func (s *Server) decision(w http.ResponseWriter, r *http.Request) {
	d, err := s.config.Decision(r.Context(), r.PathValue("id"))
	if err != nil {
		fail(w, http.StatusNotFound, err)
		return
	}
	answer(w, d)
}
