//! Breaks promises in the store: triggers that undo what the services have written for the users of
//! one run.

use parlance_devstack::Stack;
use sqlx::{AssertSqlSafe, Connection, Executor};

/// What the store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// Deletes every fifth message of a room when it is committed.
    DeleteMessages,
    /// Changes the idempotency key of each message, so that it is not found again.
    ChangeKeys,
    /// Skips a number after every fifth message of a room.
    SkipNumbers,
    /// Deletes the system room of these two users, by index, when it is committed.
    DeleteSystemRoom([usize; 2]),
    /// Keeps sessions that are ended.
    KeepSessions,
}

impl Trigger {
    /// The body of the trigger's function.
    fn body(self, prefix: &str) -> String {
        match self {
            Self::DeleteMessages => "DELETE FROM messaging.messages WHERE id = NEW.id;".to_owned(),
            Self::ChangeKeys => {
                "NEW.client_msg_id := NEW.client_msg_id || ':' || NEW.seq;".to_owned()
            }
            Self::SkipNumbers => "UPDATE messaging.room_heads SET last_seq = last_seq + 1
                WHERE room_id = NEW.room_id;"
                .to_owned(),
            Self::DeleteSystemRoom([one, other]) => format!(
                "IF 2 = (
                    SELECT count(*) FROM auth.users
                    WHERE id IN (NEW.system_low_id, NEW.system_high_id)
                        AND username IN ('{prefix}{one}', '{prefix}{other}')
                ) THEN
                    DELETE FROM rooms.rooms WHERE id = NEW.id;
                END IF;"
            ),
            // Without a row to return, nothing is deleted.
            Self::KeepSessions => format!(
                "IF NOT EXISTS (
                    SELECT FROM auth.users
                    WHERE id = OLD.user_id AND username LIKE '{prefix}%'
                ) THEN
                    RETURN OLD;
                END IF;"
            ),
        }
    }

    /// The kind of trigger, and when it fires. A deferred one fires at the commit, when the service
    /// has already read what it answers.
    fn occasion(self, prefix: &str) -> (&'static str, String) {
        let is_ours = format!("NEW.sender_name LIKE '{prefix}%'");
        let every_fifth = format!("{is_ours} AND NEW.seq % 5 = 0");
        let deferred = "DEFERRABLE INITIALLY DEFERRED";
        let (kind, insert, timing, condition) = match self {
            Self::DeleteMessages => (
                "CONSTRAINT TRIGGER",
                "AFTER INSERT ON messaging.messages",
                deferred,
                every_fifth.as_str(),
            ),
            Self::ChangeKeys => {
                ("TRIGGER", "BEFORE INSERT ON messaging.messages", "", is_ours.as_str())
            }
            Self::SkipNumbers => {
                ("TRIGGER", "AFTER INSERT ON messaging.messages", "", every_fifth.as_str())
            }
            Self::DeleteSystemRoom(_) => {
                ("CONSTRAINT TRIGGER", "AFTER INSERT ON rooms.rooms", deferred, "NEW.is_system")
            }
            Self::KeepSessions => ("TRIGGER", "BEFORE DELETE ON auth.sessions", "", "TRUE"),
        };
        (kind, format!("{insert} {timing} FOR EACH ROW WHEN ({condition})"))
    }
}

/// Installs a trigger for all users whose names begin with the prefix, which must be letters.
pub(super) async fn install(stack: &Stack, prefix: &str, trigger: Trigger) -> anyhow::Result<()> {
    let (body, (kind, occasion)) = (trigger.body(prefix), trigger.occasion(prefix));
    let statements = format!(
        "CREATE FUNCTION public.tamper_{prefix}() RETURNS TRIGGER
         LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             {body}
             RETURN NEW;
         END
         $$;
         CREATE {kind} tamper_{prefix} {occasion} EXECUTE FUNCTION public.tamper_{prefix}()"
    );
    let mut connection = stack.postgres().connect("parlance").await?;
    connection.execute(AssertSqlSafe(statements)).await?;
    Ok(connection.close().await?)
}
