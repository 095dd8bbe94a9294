// A harness for go.etcd.io/raft/v3: the same workloads as benchmarks/workloads, on request. One JSON object a line, in
// and out; benchmarks/worker.py describes them. Built twice, for v3.7.0 (go.mod) and v3.6.0 (go36.mod, tag v36).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type shape map[string]int

// bench is a workload of one shape, ready to run; what panics in it is answered as an error.
type bench interface {
	granularity() int
	settle()
	run(operations int)
	verify()
	counted() *counts
}

type counts struct {
	messages, readies, wireBytes int
	digest                       uint32
	paused                       clock // housekeeping within runs, which does not count
}

func (c *counts) counted() *counts { return c }
func (c *counts) granularity() int { return 1 }
func (c *counts) settle()          {}

type request struct {
	Do         string
	Workload   string
	Shape      shape
	Operations int
}

type answer map[string]any

var workloads = map[string]func(shape) bench{
	"cluster":  newCluster,
	"rawnode":  newLoneNode,
	"reads":    newReads,
	"groups":   newGroups,
	"growth":   newGrowth,
	"codec":    newCodec,
	"quorum":   newQuorum,
	"election": newElection,
	"status":   newTell,
}

func main() {
	requests := bufio.NewScanner(os.Stdin)
	requests.Buffer(nil, 1<<20)
	answers := json.NewEncoder(os.Stdout)
	var prepared bench
	for requests.Scan() {
		var r request
		given := answer{}
		if err := json.Unmarshal(requests.Bytes(), &r); err != nil {
			given = answer{"error": err.Error()}
		} else {
			prepared, given = serve(r, prepared)
		}
		if err := answers.Encode(given); err != nil {
			panic(err)
		}
	}
}

func serve(r request, prepared bench) (kept bench, given answer) {
	defer func() {
		if failure := recover(); failure != nil {
			debug.PrintStack()
			kept, given = nil, answer{"error": fmt.Sprint(failure)}
		}
	}()
	switch r.Do {
	case "hello":
		return prepared, hello()
	case "prepare":
		return prepare(r)
	case "run":
		return prepared, run(prepared, r.Operations)
	case "drop":
		return nil, answer{}
	}
	return prepared, answer{"error": "no such request: " + r.Do}
}

func hello() answer {
	version := "?"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "go.etcd.io/raft/v3" {
				version = module.Version
			}
		}
	}
	return answer{"name": "etcd raft", "version": version, "runtime": runtime.Version()}
}

func prepare(r request) (bench, answer) {
	build := workloads[r.Workload]
	if build == nil {
		return nil, answer{"unsupported": "no workload " + r.Workload}
	}
	before := residentBytes()
	started := time.Now()
	made := build(r.Shape)
	elapsed := time.Since(started).Nanoseconds()
	made.verify()
	return made, answer{
		"nanoseconds":    elapsed,
		"resident_bytes": residentBytes() - before,
		"granularity":    made.granularity(),
		"messages":       made.counted().messages,
	}
}

func run(prepared bench, operations int) answer {
	if prepared == nil {
		panic("nothing is prepared")
	}
	if operations <= 0 || operations%prepared.granularity() != 0 {
		panic(fmt.Sprintf("%d operations are no multiple of %d", operations, prepared.granularity()))
	}
	prepared.settle()
	before := *prepared.counted()
	started := now()
	prepared.run(operations)
	elapsed := now().minus(started)
	prepared.verify()
	after := *prepared.counted()
	elapsed = elapsed.minus(after.paused.minus(before.paused))
	return answer{
		"nanoseconds": elapsed.wall, "cpu_nanoseconds": elapsed.cpu,
		"operations": operations,
		"messages":   after.messages - before.messages,
		"readies":    after.readies - before.readies,
		"wire_bytes": after.wireBytes - before.wireBytes,
		"digest":     after.digest,
	}
}

// clock is wall time and the time of all threads, in nanoseconds.
type clock struct{ wall, cpu int64 }

var origin = time.Now()

func now() clock {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return clock{wall: time.Since(origin).Nanoseconds(), cpu: usage.Utime.Nano() + usage.Stime.Nano()}
}

func (c clock) minus(other clock) clock { return clock{c.wall - other.wall, c.cpu - other.cpu} }

func (c clock) plus(other clock) clock { return clock{c.wall + other.wall, c.cpu + other.cpu} }

// residentBytes is the memory of this process after everything unused has been given back; 0 where nobody tells.
func residentBytes() int {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		return 0
	}
	return pages * os.Getpagesize()
}

// check is for what cannot fail; the text of a failure is all that is told.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func require(holds bool, format string, arguments ...any) {
	if !holds {
		panic(fmt.Sprintf(format, arguments...))
	}
}
