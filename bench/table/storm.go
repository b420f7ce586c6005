package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

var storm = row{"storm", "restart storm, 30,000 workloads with full handshakes, one core", "drained < 60 s, 0 errors", "< 10 s",
	func(b *bench) (figure, error) {
		bin, err := b.build("bench/storm")
		if err != nil {
			return figure{}, err
		}
		args := []string{"-json", "-server-core", strconv.Itoa(b.serverCore), "-core", strconv.Itoa(b.loadCore)}
		if b.quick {
			args = append(args, "-workloads", "3000", "-down", "5s", "-token-life", "20s")
		}
		cmd := exec.CommandContext(b.ctx, bin, args...)
		cmd.Stderr = os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has a server to stop
		cmd.WaitDelay = time.Minute
		out, err := cmd.Output()
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !(failed && len(out) > 0) { // it may have measured that a rule was broken
			return figure{}, err
		}
		var r struct {
			Workloads int     `json:"workloads"`
			Down      float64 `json:"down_seconds"`
			Drained   float64 `json:"drained_seconds"`
			Echo      bool    `json:"echo"`
			Passed    bool    `json:"passed"`
		}
		if err := json.Unmarshal(out, &r); err != nil {
			return figure{}, err
		}
		return judged(
			fmt.Sprintf("%d workloads drained in %.1f s", r.Workloads, r.Drained),
			fmt.Sprintf("killed, down %.0f s; echo: %t", r.Down, r.Echo),
			r.Passed, r.Passed && r.Drained < 10,
		), nil
	}}
