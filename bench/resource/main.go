// Command resource measures what an API pays for verifying an access token with
// package resource: how long each takes, what it allocates, and how often the
// network is asked while it does. It prints JSON.
//
//	go run ./bench/resource
//
// The keys come over HTTPS from a JWKS endpoint on loopback, as they do in life,
// and that endpoint counts who asks.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/process"
	"github.com/svidgate/svidgate/resource"
)

// A report is what is printed: several passes, since on a machine that is shared
// the tail of one may be somebody else's.
type report struct {
	First    []series `json:"first_sight"`
	Repeated []series `json:"repeated"`
}

// A series has the times of single verifications, in microseconds.
type series struct {
	Tokens       int     `json:"tokens"`
	P50          float64 `json:"p50_us"`
	P99          float64 `json:"p99_us"`
	P999         float64 `json:"p999_us"`
	Max          float64 `json:"max_us"`
	Allocations  float64 `json:"allocations_per_token"`
	Bytes        float64 `json:"bytes_per_token"`
	NetworkCalls int64   `json:"network_calls"`
}

func main() {
	tokens := flag.Int("tokens", 10000, "tokens of each pass")
	passes := flag.Int("passes", 5, "passes")
	core := flag.Int("core", process.AnyCore, "core that it is kept on")
	flag.Parse()
	if err := run(*tokens, *passes, *core); err != nil {
		fmt.Fprintln(os.Stderr, "resource:", err)
		os.Exit(1)
	}
}

func run(n, passes, core int) error {
	if core != process.AnyCore {
		if err := process.Pin(core); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	as, err := newAuthServer()
	if err != nil {
		return err
	}
	defer as.close()
	v, err := as.verifier(ctx)
	if err != nil {
		return err
	}
	tokens, err := as.tokens((1 + passes) * n)
	if err != nil {
		return err
	}
	var r report
	for pass := range 1 + passes { // one to warm up
		fresh := tokens[pass*n : (pass+1)*n]
		first, err := measure(ctx, v, as, fresh)
		if err != nil {
			return err
		}
		const different = 100 // tokens that a busy API sees again and again
		seen := fresh[:min(different, n)]
		if _, err := measure(ctx, v, as, seen); err != nil { // of so many first ones they may be forgotten
			return err
		}
		again := make([]string, n)
		for i := range again {
			again[i] = seen[i%len(seen)]
		}
		repeated, err := measure(ctx, v, as, again)
		if err != nil {
			return err
		}
		if pass > 0 {
			r.First, r.Repeated = append(r.First, first), append(r.Repeated, repeated)
		}
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// measure verifies each token once, one after the other.
func measure(ctx context.Context, v *resource.Verifier, as *authServer, tokens []string) (series, error) {
	took := make([]time.Duration, len(tokens))
	calls := as.calls.Load()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i, token := range tokens {
		begin := time.Now()
		_, err := v.VerifyToken(ctx, token, nil, scope)
		took[i] = time.Since(begin)
		if err != nil {
			return series{}, err
		}
	}
	runtime.ReadMemStats(&after)
	slices.Sort(took)
	n := float64(len(tokens))
	return series{
		Tokens: len(tokens),
		P50:    microseconds(load.Percentile(took, 50)), P99: microseconds(load.Percentile(took, 99)),
		P999: microseconds(load.Percentile(took, 99.9)), Max: microseconds(load.Percentile(took, 100)),
		Allocations:  float64(after.Mallocs-before.Mallocs) / n,
		Bytes:        float64(after.TotalAlloc-before.TotalAlloc) / n,
		NetworkCalls: as.calls.Load() - calls,
	}, nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
