package main

import (
	"context"
	"testing"

	"github.com/svidgate/svidgate/resource"
)

// Verification by an API, of tokens that it has not seen and of one that it has.
func BenchmarkVerifyToken(b *testing.B) {
	as, err := newAuthServer()
	if err != nil {
		b.Fatal(err)
	}
	defer as.close()
	const different = 2000
	tokens, err := as.tokens(different)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	fresh := func() *resource.Verifier {
		v, err := as.verifier(ctx)
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		v, i := fresh(), 0
		for b.Loop() {
			if i == different {
				b.StopTimer()
				v, i = fresh(), 0
				b.StartTimer()
			}
			if _, err := v.VerifyToken(ctx, tokens[i], nil, scope); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("repeated", func(b *testing.B) {
		b.ReportAllocs()
		v := fresh()
		for b.Loop() {
			if _, err := v.VerifyToken(ctx, tokens[0], nil, scope); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Measuring asks the network for nothing, which is what is claimed of it.
func TestNoNetworkCalls(t *testing.T) {
	as, err := newAuthServer()
	if err != nil {
		t.Fatal(err)
	}
	defer as.close()
	v, err := as.verifier(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if as.calls.Load() != 1 {
		t.Fatalf("the keys were fetched %d times before any token", as.calls.Load())
	}
	tokens, err := as.tokens(10)
	if err != nil {
		t.Fatal(err)
	}
	s, err := measure(t.Context(), v, as, tokens)
	if err != nil || s.NetworkCalls != 0 || s.Tokens != 10 || s.P50 <= 0 || s.P99 < s.P50 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := measure(t.Context(), v, as, []string{tokens[0] + "x"}); err == nil {
		t.Error("a token that is refused was measured")
	}
}
