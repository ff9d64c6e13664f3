package main

import (
	"bytes"
	"log"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// app is what runs in the containers.
func app(args []string) {
	switch strings.Join(args, " ") {
	case "ignore":
		signal.Ignore(syscall.SIGTERM)
	case "sleep": // port 80 is taken in a namespace that is shared
		<-time.After(time.Hour)
	case "hup":
		signal.Ignore(syscall.SIGHUP)
	case "crash":
		<-time.After(200 * time.Millisecond)
		os.Exit(3)
	case "eat":
		var all [][]byte
		for len(all) < 1<<20 {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
		}
		runtime.KeepAlive(all)
	case "oom":
		go func() {
			<-time.After(300 * time.Millisecond)
			if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-500"), 0); err != nil {
				log.Print(err)
			}
			log.Print(exec.Command("/proc/self/exe", "app", "eat").Run())
		}()
	}
	log.Fatal(http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })))
}

// A sequence is what is done to the engine, step by step.
type sequence struct {
	name  string
	steps []step
}

type step struct {
	what string
	do   func()
}

// d is a step that calls docker, with the prefix put before words that begin
// with "@".
func d(line string) step {
	return step{"docker " + strings.ReplaceAll(line, "@", ""), func() {
		docker(strings.Fields(strings.ReplaceAll(strings.ReplaceAll(line, "@image", image), "@", prefix+"-"))...)
	}}
}

func wait(t time.Duration) step { return step{"wait", func() { <-time.After(t) }} }

var sequences = []sequence{
	{"start-stop", []step{d("run -d --name @a -l fairlead.host=a.example.com @image"), d("stop @a"), d("start @a"), d("restart @a"), d("rm -f @a")}},
	{"pause", []step{d("run -d --name @a @image"), d("pause @a"), d("unpause @a"), d("pause @a"), d("rm -f @a")}},
	{"networks", []step{
		d("network create @n"), d("run -d --name @a @image"), d("network connect @n @a"), d("network disconnect bridge @a"),
		d("network disconnect @n @a"), d("network connect @n @a"), d("create --name @b --network @n @image"), d("network disconnect @n @b"),
		d("network connect @n @b"), d("start @b"), d("rm -f @b"), d("rm -f @a"),
	}},
	{"namespace", []step{d("run -d --name @owner @image"), d("run -d --name @guest --network container:@owner @image sleep"),
		d("restart -t 1 @owner"), d("rm -f @guest"), d("rm -f @owner")}},
	{"signals", []step{
		d("run -d --name @a @image hup"), d("kill -s HUP @a"), d("kill -s USR1 @a"), d("start @a"), d("kill @a"), d("rm @a"),
		d("run -d --name @q --stop-signal SIGQUIT @image"), d("kill -s QUIT @q"),
	}},
	{"ignored-stop", []step{d("run -d --name @a @image ignore"), d("kill -s TERM @a"), d("stop -t 1 @a"), d("rm @a")}},
	{"oom-child", []step{d("run -d --name @a -m 60m @image oom"), wait(2 * time.Second), d("stop @a")}},
	{"oom", []step{d("run -d --name @a -m 60m @image eat"), wait(time.Second), d("rm -f @a")}},
	{"crash-loop", []step{d("run -d --name @a --restart=on-failure:3 @image crash"), wait(3 * time.Second), d("rm -f @a")}},
	{"rename", []step{d("run -d --name @a @image"), d("rename @a @b"), d("rm -f @b")}},
	{"health", []step{d("run -d --name @a --health-cmd x --health-interval 200ms --health-retries 1 @image"), wait(time.Second), d("stop @a")}},
	{"compose", []step{compose("v1", "up -d"), compose("v2", "up -d"), compose("v2", "up -d --scale web=2"), compose("v2", "run -d web"), compose("v2", "down --remove-orphans")}},
}

// compose is a step that calls docker-compose on a project whose only label is
// version, so that another version recreates its container.
func compose(version, line string) step {
	return step{"compose " + version + " " + line, func() {
		dir, err := os.MkdirTemp("", prefix)
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "compose.yaml")
		text := "version: '3'\nservices:\n  web:\n    image: " + image + "\n    labels: {fairlead.host: shop.example.com, version: " + version + "}\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
		args := append([]string{"-p", prefix + "-shop", "-f", file}, strings.Fields(line)...)
		if out, err := exec.Command("docker-compose", args...).CombinedOutput(); err != nil {
			log.Printf("  docker-compose %s: %v: %s", line, err, out)
		}
	}}
}
