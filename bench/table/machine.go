package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/svidgate/svidgate/bench/internal/process"
)

// writeCircumstances says when, where and how: figures mean nothing without.
func (b *bench) writeCircumstances(w io.Writer, started time.Time) error {
	placing := fmt.Sprintf("Servers on core %d with GOMAXPROCS 1, the generator on core %d", b.serverCore, b.loadCore)
	if b.serverCore == process.AnyCore {
		placing = "Servers and generator on the same core or wherever the system put them"
	}
	sign, verify, err := signatures()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s, %s, %d cores, %s, Linux %s; a P-256 signature takes %.0f µs to make and %.0f µs to verify (26 and 55 when the goals were set). "+
		"`%s`: %s; TLS 1.3 and HTTP/1.1 on loopback, audit on, profile `latest`. %s.\n\n",
		started.UTC().Format("2006-01-02 15:04 MST"), cpuModel(), b.cores, runtime.Version(), kernel(), sign, verify, b.command, b.size, placing)
	return err
}

// signatures are what the machine needs today for the two operations that no
// server can do without, in microseconds: the median of many.
func signatures() (sign, verify float64, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, 0, err
	}
	digest := sha256.Sum256([]byte("bench"))
	var signing, verifying []float64
	for range 2000 {
		begin := time.Now()
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			return 0, 0, err
		}
		signed := time.Now()
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			return 0, 0, errors.New("a signature does not verify")
		}
		signing = append(signing, float64(signed.Sub(begin))/float64(time.Microsecond))
		verifying = append(verifying, float64(time.Since(signed))/float64(time.Microsecond))
	}
	return spreadOf(signing).median, spreadOf(verifying).median, nil
}

func cpuModel() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	for line := range bytes.Lines(raw) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	raw, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "of unknown version"
	}
	return strings.TrimSpace(string(raw))
}
