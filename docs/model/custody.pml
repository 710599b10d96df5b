/* Who holds a reading: from the broker's session to the stored row. How to run it, and what it found: README.md beside this file.
 *
 * N messages with one reading each, sent as one frame each. The gateway loses its connection, is killed, or does not hear Kafka's answer
 * and sends the frame again, GATEWAY_FAULTS times in all. Two processors claim the one partition CLAIMS times in all; each may be killed
 * before or after its COMMIT, and be frozen for any time (it is not scheduled) and go on as a zombie. The table has no key here: rows are
 * kept single by cursor, fence and frame numbers alone.
 *
 * Each -D takes one protection away, and the assertion named is violated:
 *   ACK_BEFORE_KAFKA  PUBACK at receipt                                              no acked reading lost
 *   NO_GENERATION     a late PUBACK goes out on whichever connection there is        acks in order of receipt; with two faults no acked reading lost
 *   NO_ORDER          PUBACKs as frames get done                                     acks in order of receipt
 *   NO_FENCE          a batch looks neither at owner nor offset                      only the owner commits; row stored once
 *   NO_SEQUENCE       frame numbers are not looked at                                row stored once
 *   CURSOR_AFTER      cursor and frame numbers in a transaction after the rows       row stored once
 *   CURSOR_BEFORE     cursor and frame numbers in a transaction before the rows      no acked reading lost (the formula)
 *   RETRY_COMMIT      an unanswered COMMIT is repeated, the fence has no offset      at most one owner commits an offset; row stored once
 *
 * Where two are named the first ends the search; with -DLATER_HARM it is not looked at, and the second is found.
 */
#ifndef N
#define N 2
#endif
#ifndef GATEWAY_FAULTS
#define GATEWAY_FAULTS 2
#endif
#ifndef CLAIMS
#define CLAIMS 3
#endif
#define LOG (N * (GATEWAY_FAULTS + 1))  /* a fault sends each message again at most once */
#define UNSENT 255
#define BIT(m) (1 << (m))

/* The broker's session: a message stays until its PUBACK. Every connection uses the ids 0, 1, 2 ... again. */
bit acked[N];
byte id_of[N] = UNSENT;
byte next_id, next_ack, connection, faults;

/* The gateway's memory: tickets in order of receipt, those before `front` finished. */
byte ticket_message[LOG], ticket_id[LOG], ticket_connection[LOG];
bit ticket_done[LOG], ticket_acked[LOG];
byte tickets, front;

/* Kafka: an append-only log. The frame's number is that of its message. */
byte log_message[LOG];
byte log_end;
byte behind[N];                     /* the end of the log when the message was last written to it; 0: never */

/* The database. */
byte rows[N];
byte cursor, owner, claims, seen;   /* `owner` is the token of the last claim, `seen` the frame numbers stored */
byte moved_by[LOG];                 /* token of the transaction that moved the cursor over this offset */

inline puback(id) {
#ifndef LATER_HARM
    assert(id == next_ack);                             /* acks in order of receipt */
#endif
    next_ack = id + 1;
    for (m : 0 .. N - 1) {
        if
        :: id_of[m] == id && !acked[m] ->
            assert(behind[m]);                          /* no acked reading lost: not before Kafka has it */
            acked[m] = 1
        :: else
        fi
    }
    m = 0
}

inline finish(t) {
    if
#ifdef NO_GENERATION
    :: id_of[0] != UNSENT || id_of[N - 1] != UNSENT -> puback(ticket_id[t])
#else
    :: ticket_connection[t] == connection && !ticket_acked[t] -> puback(ticket_id[t])
#endif
    :: else                                             /* another connection's: the broker delivers it again */
    fi;
    ticket_acked[t] = 1
}

inline forget_tickets() {
    for (m : 0 .. LOG - 1) {
        ticket_message[m] = 0; ticket_id[m] = 0; ticket_connection[m] = 0; ticket_done[m] = 0; ticket_acked[m] = 0
    }
    m = 0; tickets = 0; front = 0
}

inline reconnect() {
    connection++; next_id = 0; next_ack = 0;
    for (m : 0 .. N - 1) { id_of[m] = UNSENT }
    m = 0
}

active proctype Gateway() {
    byte m, i;
end:
    do
    :: atomic {                                         /* receive: the oldest message not sent on this connection */
        tickets < LOG && (id_of[0] == UNSENT && !acked[0] || id_of[N - 1] == UNSENT && !acked[N - 1]) ->
        i = 0;
        do
        :: acked[i] || id_of[i] != UNSENT -> i++
        :: else -> break
        od;
        id_of[i] = next_id; next_id++;
        ticket_message[tickets] = i; ticket_id[tickets] = id_of[i]; ticket_connection[tickets] = connection; tickets++;
#ifdef ACK_BEFORE_KAFKA
        finish(tickets - 1);
#endif
        i = 0
       }
    :: atomic {                                         /* produce: any waiting frame, not always the oldest, gets into the log */
        front < tickets && log_end < LOG ->
        i = front;
        do
        :: i + 1 < tickets -> i++
        :: break
        od;
        if
        :: !ticket_done[i] ->
            log_message[log_end] = ticket_message[i]; log_end++; behind[ticket_message[i]] = log_end;
            if
            :: ticket_done[i] = 1
            :: faults < GATEWAY_FAULTS -> faults++      /* in the log, but the answer is lost: sent again */
            fi
        :: else
        fi;
#ifdef NO_ORDER
        if :: ticket_done[i] -> finish(i) :: else fi;
#endif
        i = 0
       }
    :: atomic {                                         /* acknowledge what is finished at the front */
        front < tickets && ticket_done[front] ->
        finish(front); front++;
        if :: front == tickets -> forget_tickets() :: else fi
       }
    :: atomic { faults < GATEWAY_FAULTS -> faults++; reconnect() }                      /* connection lost, works go on */
    :: atomic { faults < GATEWAY_FAULTS -> faults++; forget_tickets(); reconnect() }    /* killed */
    od
}

#if defined(NO_FENCE)
#define FENCED false
#elif defined(RETRY_COMMIT)
#define FENCED (owner != token)
#else
#define FENCED (owner != token || cursor != position)
#endif

inline store_rows() {
    for (q : position .. upto - 1) {
        if
#ifndef NO_SEQUENCE
        :: known & BIT(log_message[q])                  /* this frame number came before */
#endif
        :: else ->
            rows[log_message[q]]++;
            assert(rows[log_message[q]] <= 1)           /* row stored once */
        fi;
        known = known | BIT(log_message[q])
    }
    q = 0
}

inline move_cursor() {
#ifndef LATER_HARM
    assert(owner == token);                             /* only the owner commits */
    for (q : position .. upto - 1) {
        assert(moved_by[q] == 0);                       /* at most one owner commits an offset */
        moved_by[q] = token
    }
    q = 0;
#endif
    cursor = upto
}

inline nothing_passed_over() {
    for (q : 0 .. LOG - 1) {
        assert(q >= cursor || rows[log_message[q]] >= 1)
    }
    q = 0
}

active [2] proctype Processor() {
    byte token, position, upto, known, before, q;
end:
    do
    :: atomic {
        token == 0 && claims < CLAIMS ->                /* claim: a fresh token; memory is what is stored */
        claims++; token = claims; owner = token; position = cursor; known = seen
       }
    :: atomic {
        token != 0 && position < log_end ->             /* fetch one record, or all there are */
        if
        :: upto = position + 1
        :: upto = log_end
        fi;
        before = known
       };
#if defined(CURSOR_AFTER) || defined(CURSOR_BEFORE)
       atomic {
        if
        :: FENCED -> goto forget
        :: else ->
#ifdef CURSOR_AFTER
            store_rows()
#else
            move_cursor(); for (q : position .. upto - 1) { seen = seen | BIT(log_message[q]) }
#endif
        fi
       };
       if
       :: skip
       :: claims < CLAIMS -> goto forget                /* killed between the two */
       fi;
       atomic {
#ifdef CURSOR_AFTER
        if
        :: FENCED -> goto forget
        :: else -> move_cursor(); seen = known
        fi;
#else
        store_rows(); nothing_passed_over();
#endif
        position = upto; upto = 0; before = 0
       }
#else
       if
       :: claims < CLAIMS -> goto forget                /* killed before COMMIT: nothing took place */
       :: atomic {                                      /* the transaction: whole, or fenced */
           skip;    /* without it Spin makes one `if` of both, and `else` would mean "and not killed", too */
           if
           :: FENCED -> goto forget
           :: else -> store_rows(); move_cursor(); seen = known; nothing_passed_over()
           fi;
           if
           :: position = upto
           :: claims < CLAIMS ->                        /* COMMIT took place, its answer is lost */
#ifdef RETRY_COMMIT
               known = before                           /* and the batch is tried again from memory */
#else
               goto forget
#endif
           fi;
           upto = 0; before = 0
          }
       fi
#endif
    :: atomic { token != 0 && claims < CLAIMS -> goto forget }  /* killed while idle */
    od;
forget:
    atomic { token = 0; position = 0; upto = 0; known = 0; before = 0; q = 0; goto end }
}

/* In every state: whoever waits no longer at the broker is a row, or is still to come behind the cursor. (N is 2 or 3.) */
#define KEPT(m) (!acked[m] || rows[m] || behind[m] > cursor)
ltl no_acked_reading_lost { [] (KEPT(0) && KEPT(N / 2) && KEPT(N - 1)) }

active proctype AtRest() {
    byte m;
end:
    timeout ->                                          /* nothing can happen any more: all is delivered */
    atomic {
        for (m : 0 .. N - 1) { assert(acked[m]); assert(rows[m] == 1) }
        assert(cursor == log_end)
    }
}
