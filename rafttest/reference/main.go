// Command reference runs traces through the reference implementation, go.etcd.io/raft/v3, and shows every command whose
// recorded output is not what the reference answers. With -rewrite it records the reference's answers instead. With
// -state-traces, built with the tag with_tla, it writes what the nodes of clusters tell the state tracer.
//
// Read in this order: main.go (files and counts), script.go (the file format), output.go (what counts as equal),
// interaction.go (clusters), arithmetic.go (configurations and quorums), state_trace.go (events instead of outputs).
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"go.etcd.io/raft/v3"
)

// Exit codes.
const (
	exitSame    = 0
	exitDiffers = 1
	exitTrouble = 2 // wrong usage, or a file that cannot be read, parsed or written
)

// noTrace matches names of what is skipped in folders.
var noTrace = regexp.MustCompile(`^[.#]|~$|\.md$`)

// session is one run of the program: its options and what it has counted so far.
type session struct {
	out     *bufio.Writer
	rewrite bool
	quiet   bool
	states  bool

	files, commands, differing, cut int
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	code := run(os.Args[1:], out, os.Stderr)
	if err := out.Flush(); err != nil {
		code = exitTrouble
	}
	os.Exit(code)
}

func run(args []string, out *bufio.Writer, complaints io.Writer) int {
	s := session{out: out}
	// A set of our own: the libraries put flags of the same names into the global one.
	flags := flag.NewFlagSet("reference", flag.ContinueOnError)
	flags.SetOutput(complaints)
	flags.BoolVar(&s.rewrite, "rewrite", false, "record the reference's outputs in the files, without its log lines")
	flags.BoolVar(&s.quiet, "quiet", false, "name the places that differ, without showing how")
	flags.BoolVar(&s.states, "state-traces", false, "write what nodes tell the state tracer; needs the tag with_tla")
	flags.Usage = func() {
		fmt.Fprintln(complaints, "usage: reference [-rewrite] [-quiet] [-state-traces] FILE-OR-FOLDER...")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return exitTrouble
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return exitTrouble
	}
	if s.states && !raft.StateTraceDeployed {
		fmt.Fprintln(complaints, "-state-traces needs a build with -tags with_tla")
		return exitTrouble
	}
	files, err := find(flags.Args())
	if err != nil {
		fmt.Fprintln(complaints, err)
		return exitTrouble
	}
	prepare()
	code := exitSame
	work := s.file
	if s.states {
		work = s.traceStates
	}
	for _, file := range files {
		if err := work(file); err != nil {
			fmt.Fprintln(complaints, err)
			code = exitTrouble
		}
		out.Flush() // an error stays and is reported at the end
	}
	if s.states {
		return code
	}
	s.summary()
	if code == exitSame && !s.rewrite && s.differing+s.cut > 0 {
		return exitDiffers
	}
	return code
}

// find lists the files that the paths name: themselves, or everything below a folder in the order of the names, except
// what editors leave behind and Markdown, which explains traces.
func find(paths []string) ([]string, error) {
	var files []string
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			switch hidden := path != root && noTrace.MatchString(entry.Name()); {
			case hidden && entry.IsDir():
				return filepath.SkipDir
			case !hidden && !entry.IsDir():
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// file runs one trace in a fresh harness. A panic of the reference ends it there: what the reference holds afterwards is
// undefined. A rewritten trace then ends just before that command, or before one that misuses the reference.
func (s *session) file(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	script, err := parse(string(content))
	if err != nil {
		return fmt.Errorf("%s:%w", path, err)
	}
	s.files++
	harness := newHarness(script, nil)
	for i := range script.directives {
		d := &script.directives[i]
		output, failure := attempt(harness, d, s.rewrite)
		if failure != "" {
			fmt.Fprintf(s.out, "%s:%d: %s\n", path, d.line, failure)
			s.cut++
			script.truncate(i)
			break
		}
		s.commands++
		actual := normalize(output)
		if s.rewrite {
			d.expected = actual
		} else if expected := normalize(d.expected); actual != expected {
			s.differing++
			fmt.Fprintf(s.out, "%s:%d: %s\n", path, d.line, d.command)
			if !s.quiet {
				fmt.Fprintln(s.out, difference(expected, actual))
			}
		}
	}
	if rewritten := script.String(); s.rewrite && rewritten != string(content) {
		return os.WriteFile(path, []byte(rewritten), 0o644)
	}
	return nil
}

func (s *session) summary() {
	verb := fmt.Sprintf("%d differ from the reference", s.differing)
	if s.rewrite {
		verb = "rewritten"
	}
	fmt.Fprintf(s.out, "%d commands in %d files: %s", s.commands, s.files, verb)
	if s.cut > 0 {
		fmt.Fprintf(s.out, ", %d ended early", s.cut)
	}
	fmt.Fprintln(s.out)
}
