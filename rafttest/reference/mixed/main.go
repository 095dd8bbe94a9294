// Nodes of go.etcd.io/raft for a group that they share with nodes of pyraft.
//
// Frames on stdin and stdout: four bytes of length, most significant first, then JSON. A request names what to do at
// which node; the answer shows the node afterwards, and whatever it wants sent, has written and has applied. Nothing
// happens unless a request asks for it, and randomness is seeded, so the same requests get the same answers. Messages,
// entries and states travel as the library itself encodes them.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	mathrand "math/rand"
	"os"

	"go.etcd.io/raft/v3"
)

const maxFrame = 64 << 20

type settings struct {
	ElectionTick, HeartbeatTick             int
	MaxSizePerMsg, MaxCommittedSizePerReady uint64
	MaxInflightMsgs                         int
	CheckQuorum, PreVote, Async, StepDown   bool
}

type request struct {
	Do       string
	Node     uint64
	Seed     int64
	Settings settings
	Data     []byte // what the request is about: a message, a proposal, a snapshot, a configuration
	Index    uint64
	To       uint64
	Failed   bool
}

type read struct {
	Index   uint64
	Context []byte
}

type answer struct {
	Error, Panic                            string
	HasReady                                bool
	Role                                    int
	Term, Vote, Lead, Commit, Applied, Last uint64
	AppendWork, ApplyWork                   int
	Messages, Entries, Committed, Confs     [][]byte
	HardState, Snapshot                     []byte
	Reads                                   []read
}

// seeded is a source of random bytes that a seed decides.
type seeded struct{ *mathrand.Rand }

func (s seeded) Read(p []byte) (int, error) { return s.Rand.Read(p) }

func main() {
	raft.SetLogger(&raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)})
	nodes := map[uint64]*node{}
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var asked request
		if !receive(in, &asked) {
			return
		}
		send(out, handle(nodes, &asked))
	}
}

func receive(in io.Reader, asked *request) bool {
	var size uint32
	if err := binary.Read(in, binary.BigEndian, &size); err == io.EOF {
		return false
	} else {
		check(err)
	}
	if size > maxFrame {
		check(fmt.Errorf("a frame of %d bytes", size))
	}
	data := make([]byte, size)
	_, err := io.ReadFull(in, data)
	check(err)
	check(json.Unmarshal(data, asked))
	return true
}

func send(out *bufio.Writer, told *answer) {
	data, err := json.Marshal(told)
	check(err)
	check(binary.Write(out, binary.BigEndian, uint32(len(data))))
	_, err = out.Write(data)
	check(err)
	check(out.Flush())
}

// handle does what was asked. A panic of the library is told, and the node is of no use afterwards.
func handle(nodes map[uint64]*node, asked *request) (told *answer) {
	told = &answer{}
	defer func() {
		if cause := recover(); cause != nil {
			told.Panic = fmt.Sprint(cause)
		}
	}()
	if asked.Do == "seed" {
		rand.Reader = seeded{mathrand.New(mathrand.NewSource(asked.Seed))}
		clear(nodes)
		return told
	}
	one := nodes[asked.Node]
	if asked.Do == "start" {
		one = newNode(asked)
		nodes[asked.Node] = one
	} else if one == nil {
		told.Error = "no such node"
		return told
	}
	if err := one.do(asked, told); err != nil {
		told.Error = err.Error()
	}
	one.show(told)
	return told
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
