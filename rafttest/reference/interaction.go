package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"reflect"
	"strconv"
	"testing"
	"unsafe"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/rafttest"
)

// zeros is an endless source of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// prepare makes every election timeout that the reference draws the shortest one, ElectionTick: it draws from the
// system's source of randomness, which this replaces. It also silences the logger that its storage falls back to.
func prepare() {
	rand.Reader = zeros{}
	raft.SetLogger(&raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)})
}

// setElectionTimeout overrides the timeout a node has drawn, until it draws the next one. The field is private.
func setElectionTimeout(node *raft.RawNode, ticks int) {
	field := reflect.ValueOf(node).Elem().FieldByName("raft").Elem().FieldByName("randomizedElectionTimeout")
	*(*int)(unsafe.Pointer(field.UnsafeAddr())) = ticks
}

// interaction is a cluster under the reference's own environment, plus the one command it lacks.
type interaction struct {
	env *rafttest.InteractionEnv
}

func newInteraction(tracer raft.TraceLogger) *interaction {
	return &interaction{rafttest.NewInteractionEnv(&rafttest.InteractionOpts{
		OnConfig:                     func(config *raft.Config) { config.TraceLogger = tracer },
		SetRandomizedElectionTimeout: setElectionTimeout,
	})}
}

func (h *interaction) handle(t *testing.T, d datadriven.TestData) string {
	if d.Cmd != "read-index" {
		return h.env.Handle(t, d)
	}
	h.env.Output.Reset()
	if err := h.readIndex(d.CmdArgs); err != nil {
		return err.Error()
	}
	if h.env.Output.Len() == 0 {
		return "ok"
	}
	return h.env.Output.String()
}

// interrupt pulls the output from under the environment: the only thing it looks at again and again.
func (h *interaction) interrupt() {
	h.env.Output = nil
}

// misuse knows one: throwing away entries that are not applied.
func (h *interaction) misuse(d datadriven.TestData) string {
	if d.Cmd != "compact" || len(d.CmdArgs) != 2 {
		return ""
	}
	id, err := strconv.Atoi(d.CmdArgs[0].Key)
	index, err2 := strconv.ParseUint(d.CmdArgs[1].Key, 10, 64)
	if errors.Join(err, err2) != nil {
		return "" // refused by the command itself
	}
	if applied := h.env.Nodes[id-1].BasicStatus().Applied; index > applied {
		return fmt.Sprintf("compact up to %d, with %d applied", index, applied)
	}
	return ""
}

// readIndex asks a node for a linearizable read: read-index ID CONTEXT. The answer is in a later Ready.
func (h *interaction) readIndex(args []datadriven.CmdArg) error {
	if len(args) != 2 {
		return errors.New("read-index takes a node and a context")
	}
	id, err := strconv.Atoi(args[0].Key)
	if err != nil {
		return err
	}
	h.env.Nodes[id-1].ReadIndex([]byte(args[1].Key))
	return nil
}
