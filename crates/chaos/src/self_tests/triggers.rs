//! A store that lies: triggers that undo, behind the back of the services, what these have written
//! for the people of one run.

use parlance_devstack::Stack;
use sqlx::{AssertSqlSafe, Connection, Executor};

/// What the store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Every fifth message of a room is forgotten as it is committed.
    ForgetMessages,
    /// No message is found again by its key.
    ForgetKeys,
    /// After every fifth message of a room a number is taken for nothing.
    SkipNumbers,
    /// The room of two people who become contacts is forgotten as it is committed.
    ForgetSystemRoom {
        /// The two, as the plan counts them.
        of: [usize; 2],
    },
}

impl Lie {
    /// The body of the trigger's function.
    fn body(self, prefix: &str) -> String {
        match self {
            Self::ForgetMessages => "DELETE FROM messaging.messages WHERE id = NEW.id;".to_owned(),
            Self::ForgetKeys => "NEW.client_msg_id := NEW.client_msg_id || ':' || NEW.seq;".to_owned(),
            Self::SkipNumbers => {
                "UPDATE messaging.room_heads SET last_seq = last_seq + 1 WHERE room_id = NEW.room_id;"
                    .to_owned()
            }
            Self::ForgetSystemRoom { of: [one, other] } => format!(
                "IF 2 = (
                    SELECT count(*) FROM auth.users
                    WHERE id IN (NEW.system_low_id, NEW.system_high_id)
                        AND username IN ('{prefix}{one}', '{prefix}{other}')
                ) THEN
                    DELETE FROM rooms.rooms WHERE id = NEW.id;
                END IF;"
            ),
        }
    }

    /// When the trigger fires. One that is deferred does so at the commit, after everything was
    /// read for the answer.
    fn occasion(self, prefix: &str) -> String {
        let ours = format!("NEW.sender_name LIKE '{prefix}%'");
        let (when, table, timing, condition) = match self {
            Self::ForgetMessages => (
                "AFTER",
                "messaging.messages",
                "DEFERRABLE INITIALLY DEFERRED",
                format!("{ours} AND NEW.seq % 5 = 0"),
            ),
            Self::ForgetKeys => ("BEFORE", "messaging.messages", "", ours),
            Self::SkipNumbers => {
                ("AFTER", "messaging.messages", "", format!("{ours} AND NEW.seq % 5 = 0"))
            }
            Self::ForgetSystemRoom { .. } => (
                "AFTER",
                "rooms.rooms",
                "DEFERRABLE INITIALLY DEFERRED",
                "NEW.is_system".to_owned(),
            ),
        };
        format!("{when} INSERT ON {table} {timing} FOR EACH ROW WHEN ({condition})")
    }

    fn kind(self) -> &'static str {
        match self {
            Self::ForgetMessages | Self::ForgetSystemRoom { .. } => "CONSTRAINT TRIGGER",
            Self::ForgetKeys | Self::SkipNumbers => "TRIGGER",
        }
    }
}

/// Has the store lie to all whose names begin with the prefix, which is made of letters.
pub(super) async fn install(stack: &Stack, prefix: &str, lie: Lie) -> anyhow::Result<()> {
    let (body, kind, occasion) = (lie.body(prefix), lie.kind(), lie.occasion(prefix));
    let statements = format!(
        "CREATE FUNCTION public.lie_to_{prefix}() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             {body}
             RETURN NEW;
         END
         $$;
         CREATE {kind} lie_to_{prefix} {occasion} EXECUTE FUNCTION public.lie_to_{prefix}()"
    );
    let mut connection = stack.postgres().connect("parlance").await?;
    connection.execute(AssertSqlSafe(statements)).await?;
    Ok(connection.close().await?)
}
