package main

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3"
)

// patience is how long one command may take. They take milliseconds, unless messages breed messages without end.
const patience = 5 * time.Second

// harness answers the commands of one trace, in their order.
type harness interface {
	handle(t *testing.T, d datadriven.TestData) string
	// misuse tells why no application may give this command now, or nothing. What the reference does after it hangs on
	// what it happens to hold in memory, so it is not worth recording.
	misuse(d datadriven.TestData) string
	// interrupt makes a command that does not end panic. Nothing else may be asked of the harness afterwards.
	interrupt()
}

// newHarness chooses by the first command: the three kinds of traces share none. The nodes of a cluster tell a tracer,
// unless it is nil, what they do.
func newHarness(s *script, tracer raft.TraceLogger) harness {
	if len(s.directives) > 0 {
		switch s.directives[0].data.Cmd {
		case "simple", "enter-joint", "leave-joint":
			return newConfigurations()
		case "committed", "vote":
			return quorums{}
		}
	}
	return newInteraction(tracer)
}

// attempt runs one command, unless it is a misuse and only lawful ones are wanted. A failure says why there is no
// output. The reference's harness is written for `go test`: a
// command it finds malformed ends the test. Outside of one, that ends this goroutine or panics inside package testing.
func attempt(h harness, d *directive, lawful bool) (output, failure string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		failure = "the reference refuses this command as malformed"
		defer func() {
			cause := recover()
			if cause != nil && !bytes.Contains(debug.Stack(), []byte("testing.(*common)")) {
				failure = fmt.Sprintf("reference panics: %v", cause)
			}
		}()
		if lawful {
			if reason := h.misuse(d.data); reason != "" {
				failure = "no application may do this: " + reason
				return
			}
		}
		output = h.handle(new(testing.T), d.data)
		failure = ""
	}()
	select {
	case <-done:
		return output, failure
	case <-time.After(patience):
		h.interrupt()
		<-done
		return "", "the reference does not come to rest"
	}
}
