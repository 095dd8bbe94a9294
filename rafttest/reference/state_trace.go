package main

import (
	"encoding/json"
	"fmt"
	"os"

	"go.etcd.io/raft/v3"
)

// stateTrace tells what the reference's state tracer tells while clusters run, one line of JSON each: the file that
// begins, an event and the line of the command that it happened in, or why a file ends early. The reference has that
// tracer only if it is built with the tag with_tla.
type stateTrace struct {
	lines *json.Encoder
	line  int // of the command that runs
}

type traceLine struct {
	Tag     string             `json:"tag"` // "trace" with events, which is how a validator finds them
	File    string             `json:"file,omitempty"`
	Line    int                `json:"line,omitempty"`
	Event   *raft.TracingEvent `json:"event,omitempty"`
	Failure string             `json:"failure,omitempty"`
}

func (t *stateTrace) TraceEvent(event *raft.TracingEvent) {
	t.tell(traceLine{Tag: "trace", Line: t.line, Event: event})
}

func (t *stateTrace) tell(line traceLine) {
	if err := t.lines.Encode(line); err != nil { // only an event that cannot be JSON; the output keeps its own errors
		panic(err)
	}
}

// traceStates runs a file for its events alone; there are some only if it drives a cluster. It ends before a misuse: the
// reference then answers from what it happens to remember.
func (s *session) traceStates(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	script, err := parse(string(content))
	if err != nil {
		return fmt.Errorf("%s:%w", path, err)
	}
	trace := &stateTrace{lines: json.NewEncoder(s.out)}
	harness := newHarness(script, trace)
	if _, ok := harness.(*interaction); !ok {
		return nil
	}
	trace.tell(traceLine{Tag: "file", File: path})
	for i := range script.directives {
		d := &script.directives[i]
		trace.line = d.line
		if _, failure := attempt(harness, d, true); failure != "" {
			trace.tell(traceLine{Tag: "end", Line: d.line, Failure: failure})
			break
		}
	}
	return nil
}
