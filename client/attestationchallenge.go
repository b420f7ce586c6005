package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxChallenge bounds what is put into a proof on the server's word.
	maxChallenge = 1 << 10
	// challengeLife is how long a challenge is used where another can be fetched.
	// Servers give them for minutes.
	challengeLife = time.Minute
)

// attestationChallenges keeps the challenge that the server gave last, in whatever
// answer (PP-13).
type attestationChallenges struct {
	mu    sync.Mutex
	last  string
	given time.Time
}

func (s *attestationChallenges) note(challenge string, now time.Time) {
	if !isVisible(challenge) || len(challenge) > maxChallenge {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.given = challenge, now
}

// drop forgets a challenge that the server has refused, unless there is a newer
// one.
func (s *attestationChallenges) drop(refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == refused {
		s.last = ""
	}
}

func (s *attestationChallenges) get() (challenge string, given time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.given
}

// challenge is the one for the next proof: the newest that the server gave, or one
// from the endpoint where there is one. Empty means that the server wants none.
func (c *Client) challenge(ctx context.Context, x *exchange) (string, error) {
	last, given := c.challenges.get()
	if last != "" && (x.challengeEndpoint == "" || c.now().Sub(given).Abs() < challengeLife) {
		return last, nil
	}
	if x.challengeEndpoint == "" {
		return "", nil
	}
	challenge, err := c.fetchChallenge(ctx, x)
	if err != nil {
		return "", fmt.Errorf("get a challenge from %s: %w", x.challengeEndpoint, err)
	}
	return challenge, nil
}

func (c *Client) fetchChallenge(ctx context.Context, x *exchange) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.challengeEndpoint, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := x.http.Do(req)
	if err != nil {
		return "", explainTLS(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !isJSON(resp.Header) {
		return "", fmt.Errorf("the answer is %d and %q, not 200 and application/json", resp.StatusCode, oauth.Shown(resp.Header.Get("Content-Type")))
	}
	body, err := readBody(resp.Body, maxAnswer)
	if err != nil {
		return "", err
	}
	members, err := strictjson.Object(body)
	if err != nil {
		return "", err
	}
	challenge, _, err := text(members, "attestation_challenge")
	if err != nil {
		return "", err
	}
	if !isVisible(challenge) || len(challenge) > maxChallenge {
		return "", errors.New("attestation_challenge is missing, too long, or has characters that no challenge has")
	}
	c.challenges.note(challenge, c.now())
	return challenge, nil
}
