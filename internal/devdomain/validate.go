package devdomain

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/internal/strictjson"
)

const (
	leeway   = time.Minute // JS-10
	maxToken = 16 << 10    // JS-20
)

// ValidateJWTSVID judges a JWT-SVID by the bundles that this domain hands out,
// its own and the federated ones (section 2 of the client authentication
// checklist). The OAuth rules on audiences are not applied: one of several
// audiences is enough.
func (a *api) ValidateJWTSVID(_ context.Context, req *workload.ValidateJWTSVIDRequest) (*workload.ValidateJWTSVIDResponse, error) {
	if req.Audience == "" {
		return nil, status.Error(codes.InvalidArgument, "audience must be specified")
	}
	if req.Svid == "" {
		return nil, status.Error(codes.InvalidArgument, "svid must be specified")
	}
	s, _ := a.domain.current()
	id, claims, err := s.validate(req.Svid, req.Audience, a.domain.authority.Now())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	object := map[string]json.RawMessage{}
	for _, claim := range claims {
		object[claim.Name] = json.RawMessage(claim.Value)
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, status.Error(codes.Internal, "claims cannot be written")
	}
	out := &structpb.Struct{}
	if err := out.UnmarshalJSON(raw); err != nil {
		return nil, status.Error(codes.InvalidArgument, "claims do not fit the answer")
	}
	return &workload.ValidateJWTSVIDResponse{SpiffeId: id.String(), Claims: out}, nil
}

func (s *state) validate(token, audience string, now time.Time) (spiffeid.ID, strictjson.Members, error) {
	fail := func(format string, args ...any) (spiffeid.ID, strictjson.Members, error) {
		return spiffeid.ID{}, nil, fmt.Errorf(format, args...)
	}
	if len(token) > maxToken {
		return fail("the token is longer than %d bytes (JS-20)", maxToken)
	}
	jws, err := jose.ParseCompact(token)
	if err != nil {
		return fail("the token does not parse (JS-1): %w", err)
	}
	name, _, _ := jws.Text("alg")
	alg := jose.Algorithm(name)
	if !slices.Contains(jose.SVIDAlgorithms, alg) {
		return fail("alg is not allowed (JS-2)")
	}
	if typ, present, _ := jws.Text("typ"); present && typ != "JWT" && typ != "JOSE" {
		return fail("typ is neither JWT nor JOSE (JS-4)")
	}
	for _, member := range jws.Header {
		if member.Name != "alg" && member.Name != "kid" && member.Name != "typ" {
			return fail("the header has a member beside alg, kid and typ (JS-6)")
		}
	}
	claim := func(name string) strictjson.Value { v, _ := jws.Payload.Get(name); return v }
	sub, _ := claim("sub").Text()
	id, err := strictid.Workload(sub)
	if err != nil {
		return fail("sub (JS-7): %w", err)
	}
	key, err := s.jwtKey(id.TrustDomain(), jws, alg)
	if err != nil {
		return fail("%w", err)
	}
	if err := jws.Verify(alg, key); err != nil {
		return fail("%w (JS-12)", err)
	}
	if err := checkTimes(claim, now); err != nil {
		return fail("%w", err)
	}
	audiences, ok := claim("aud").Texts()
	if text, isText := claim("aud").Text(); isText {
		audiences, ok = []string{text}, true
	}
	if !ok || !slices.Contains(audiences, audience) {
		return fail("the audience is not in aud (JS-8)")
	}
	return id, jws.Payload, nil
}

// jwtKey finds the key that has to have signed: one for JWT-SVIDs in the bundle
// of that very trust domain (JS-12, JS-13).
func (s *state) jwtKey(td spiffeid.TrustDomain, jws *jose.Compact, alg jose.Algorithm) (crypto.PublicKey, error) {
	i := slices.IndexFunc(s.all(), func(b *trustBundle) bool { return b.td == td })
	if i < 0 {
		return nil, errors.New("there is no bundle of the trust domain in sub (JS-13)")
	}
	keys := s.all()[i].jwt
	kid, present, _ := jws.Text("kid")
	if present {
		key, ok := keys[kid]
		if !ok {
			return nil, errors.New("no key of the trust domain has this kid (JS-15)")
		}
		return key, nil
	}
	var fitting []crypto.PublicKey
	for _, key := range keys {
		if jose.Fits(alg, key) == nil {
			fitting = append(fitting, key)
		}
	}
	if len(fitting) != 1 {
		return nil, fmt.Errorf("there is no kid, and %d keys fit (JS-14)", len(fitting))
	}
	return fitting[0], nil
}

func checkTimes(claim func(string) strictjson.Value, now time.Time) error {
	exp, ok := claim("exp").NumericDate()
	if !ok {
		return errors.New("exp is missing or malformed (JS-9)")
	}
	if !now.Before(exp.Add(leeway)) {
		return errors.New("the token has expired (JS-9)")
	}
	for _, name := range []string{"nbf", "iat"} {
		v := claim(name)
		if v == "" {
			continue
		}
		t, ok := v.NumericDate()
		if !ok {
			return fmt.Errorf("%s is malformed (JS-11)", name)
		}
		if t.After(now.Add(leeway)) {
			return fmt.Errorf("%s is in the future (JS-11)", name)
		}
	}
	return nil
}
