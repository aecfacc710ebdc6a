/*
 * nfdelay: hold every packet of a netfilter queue for a fixed time, then let it go on; drop some of them.
 *
 *     nfdelay QUEUE DELAY_US LOSS_PERCENT
 *
 * Does in user space what "tc netem delay" does, for kernels that lack it. Packets stay in the kernel: only their
 * numbers come here (NFQNL_COPY_META), and segmentation offload stays on (NFQA_CFG_F_GSO), so that 10 Gbit/s are
 * possible. The order is kept. Runs until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define WAITING (1u << 18) /* packets that can wait: 10 Gbit/s of small packets for 100 ms */
#define BATCH 64           /* messages per system call */
#define MESSAGE 2048       /* bytes of a message without its packet */
#define QUEUE_LENGTH 200000

struct request {
	struct nlmsghdr header;
	struct nfgenmsg family;
	char attributes[128];
};

struct packet {
	uint32_t number;
	uint64_t due;
};

static int netlink;
static uint16_t queue;
static uint64_t delay_ns;
static uint64_t loss_threshold; /* of 2^53 */
static struct packet ring[WAITING];
static uint32_t head, tail;

static void die(const char *what)
{
	fprintf(stderr, "nfdelay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void begin(struct request *request, int type)
{
	memset(request, 0, sizeof *request);
	request->header.nlmsg_len = NLMSG_LENGTH(sizeof(struct nfgenmsg));
	request->header.nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	request->header.nlmsg_flags = NLM_F_REQUEST;
	request->family.nfgen_family = AF_UNSPEC;
	request->family.version = NFNETLINK_V0;
	request->family.res_id = htons(queue);
}

static void put(struct request *request, int type, const void *data, size_t size)
{
	struct nlattr *attribute = (struct nlattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
	attribute->nla_type = (uint16_t)type;
	attribute->nla_len = (uint16_t)(NLA_HDRLEN + size);
	memcpy((char *)attribute + NLA_HDRLEN, data, size);
	request->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(request->header.nlmsg_len) + NLA_ALIGN(attribute->nla_len));
}

static void transmit(const struct request *request)
{
	while (send(netlink, request, request->header.nlmsg_len, 0) < 0)
		if (errno != EINTR)
			die("send");
}

/* Send a configuration message and wait for the kernel's consent. */
static void configure(struct request *request, const char *what)
{
	char answer[4096];
	request->header.nlmsg_flags |= NLM_F_ACK;
	transmit(request);
	ssize_t size = recv(netlink, answer, sizeof answer, 0);
	if (size < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
		die(what);
	const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
	const struct nlmsgerr *error = NLMSG_DATA(header);
	if (header->nlmsg_type != NLMSG_ERROR || error->error) {
		errno = -error->error;
		die(what);
	}
}

static void verdict(int type, uint32_t number, uint32_t decision)
{
	struct request request;
	struct nfqnl_msg_verdict_hdr body = {htonl(decision), htonl(number)};
	begin(&request, type);
	put(&request, NFQA_VERDICT_HDR, &body, sizeof body);
	transmit(&request);
}

static void open_queue(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int buffer = 64 << 20, on = 1;
	netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (netlink < 0 || bind(netlink, (struct sockaddr *)&address, sizeof address))
		die("netlink socket");
	if (setsockopt(netlink, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer)
	    || setsockopt(netlink, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on))
		die("netlink socket options");

	struct request request;
	struct nfqnl_msg_config_cmd command = {.command = NFQNL_CFG_CMD_BIND, .pf = htons(AF_INET)};
	begin(&request, NFQNL_MSG_CONFIG);
	put(&request, NFQA_CFG_CMD, &command, sizeof command);
	configure(&request, "bind to the queue");

	struct nfqnl_msg_config_params parameters = {.copy_range = htonl(0), .copy_mode = NFQNL_COPY_META};
	uint32_t length = htonl(QUEUE_LENGTH), flags = htonl(NFQA_CFG_F_GSO);
	begin(&request, NFQNL_MSG_CONFIG);
	put(&request, NFQA_CFG_PARAMS, &parameters, sizeof parameters);
	put(&request, NFQA_CFG_QUEUE_MAXLEN, &length, sizeof length);
	put(&request, NFQA_CFG_FLAGS, &flags, sizeof flags);
	put(&request, NFQA_CFG_MASK, &flags, sizeof flags);
	configure(&request, "set up the queue");
}

static bool lost(void)
{
	static uint64_t random = 88172645463325252ull; /* xorshift: the same losses in every run */
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return random >> 11 < loss_threshold;
}

static void accept_packet(uint32_t number, uint64_t now)
{
	if (lost() || tail - head == WAITING) {
		verdict(NFQNL_MSG_VERDICT, number, NF_DROP);
		return;
	}
	ring[tail++ % WAITING] = (struct packet){number, now + delay_ns};
}

static void read_message(const struct nlmsghdr *header, uint64_t now)
{
	if (header->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
		return;
	const char *end = (const char *)header + header->nlmsg_len;
	const char *place = (const char *)NLMSG_DATA(header) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	while (place + NLA_HDRLEN <= end) {
		const struct nlattr *attribute = (const struct nlattr *)place;
		if (attribute->nla_len < NLA_HDRLEN)
			return;
		if ((attribute->nla_type & NLA_TYPE_MASK) == NFQA_PACKET_HDR) {
			const struct nfqnl_msg_packet_hdr *packet = (const void *)(place + NLA_HDRLEN);
			accept_packet(ntohl(packet->packet_id), now);
			return;
		}
		place += NLA_ALIGN(attribute->nla_len);
	}
}

/* Take in what has arrived, but stop as soon as a packet is due. */
static void receive(void)
{
	static char buffers[BATCH][MESSAGE];
	struct iovec vectors[BATCH];
	struct mmsghdr messages[BATCH];
	for (;;) {
		memset(messages, 0, sizeof messages);
		for (int i = 0; i < BATCH; i++) {
			vectors[i] = (struct iovec){buffers[i], MESSAGE};
			messages[i].msg_hdr.msg_iov = &vectors[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		int count = recvmmsg(netlink, messages, BATCH, MSG_DONTWAIT, NULL);
		uint64_t now = now_ns();
		for (int i = 0; i < count; i++)
			read_message((const struct nlmsghdr *)buffers[i], now);
		if (count < BATCH || (head != tail && ring[head % WAITING].due <= now))
			return;
	}
}

/* One verdict lets every packet up to a number go. */
static void release(void)
{
	uint64_t now = now_ns();
	bool any = false;
	uint32_t last = 0;
	while (head != tail && ring[head % WAITING].due <= now) {
		last = ring[head++ % WAITING].number;
		any = true;
	}
	if (any)
		verdict(NFQNL_MSG_VERDICT_BATCH, last, NF_ACCEPT);
}

static void wait_for_work(void)
{
	uint64_t now = now_ns(), until = head == tail ? now + SECOND : ring[head % WAITING].due;
	uint64_t left = until > now ? until - now : 0;
	struct timespec time = {(time_t)(left / SECOND), (long)(left % SECOND)};
	struct pollfd watched = {netlink, POLLIN, 0};
	if (ppoll(&watched, 1, &time, NULL) < 0 && errno != EINTR)
		die("ppoll");
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: nfdelay QUEUE DELAY_US LOSS_PERCENT\n");
		return 2;
	}
	queue = (uint16_t)atoi(argv[1]);
	delay_ns = (uint64_t)(atof(argv[2]) * 1000);
	loss_threshold = (uint64_t)(atof(argv[3]) / 100 * (double)(1ull << 53));
	struct sched_param priority = {.sched_priority = 50};
	if (sched_setscheduler(0, SCHED_FIFO, &priority))
		perror("nfdelay: no real-time priority, delays will vary more");
	prctl(PR_SET_TIMERSLACK, 1);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	open_queue();
	for (;;) {
		wait_for_work();
		receive();
		release();
	}
}
